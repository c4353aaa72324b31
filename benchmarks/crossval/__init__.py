"""Cross-validation of recipes: networks are trained anew for each fold."""
