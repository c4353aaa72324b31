"""Every compression method at several budgets, with and without matched maps."""
