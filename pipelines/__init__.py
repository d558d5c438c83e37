"""The stages in the order data flows, the store they meet in, and the command line above them."""
