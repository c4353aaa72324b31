"""The tables and plots of the documentation, made from docs/figures/*.json."""
