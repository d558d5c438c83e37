"""The common vocabulary into which every vendor is translated. Imports nothing else of the project."""

from __future__ import annotations

from canonical_model.checking import VocabularyError
from canonical_model.row_schema import json_schema
from canonical_model.vocabulary import KINDS, TERM_TYPES, Entity, Term, Vocabulary, load_vocabulary

__all__ = [
    "KINDS",
    "TERM_TYPES",
    "Entity",
    "Term",
    "Vocabulary",
    "VocabularyError",
    "json_schema",
    "load_vocabulary",
]
