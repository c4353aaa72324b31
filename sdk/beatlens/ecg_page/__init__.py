"""A recording and what a model found in it as one HTML file, drawn with the standard library.

Times, summary and words are used by the text output of `beatlens explain` too. Needs numpy only.
"""
