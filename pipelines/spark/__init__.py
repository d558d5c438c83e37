"""Spark as the engine of the heavy steps: settings, one session (the home of PySpark), and a door that speaks our SQL."""
