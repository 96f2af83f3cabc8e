"""Shipped model files with their notices, and what loads and trains fastText models."""
