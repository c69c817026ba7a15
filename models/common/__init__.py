"""Shared by the exporters, references and trainers of models/: files, data, metrics."""
