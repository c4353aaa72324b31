"""A package of somebody else's that adds a database and a class to beatlens."""
