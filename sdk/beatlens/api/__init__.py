"""Functions that `import beatlens` offers, each made of several parts of the package."""
