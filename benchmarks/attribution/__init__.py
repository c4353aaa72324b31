"""Matching losses: do they keep the evidence of the teacher, and what do they cost."""
