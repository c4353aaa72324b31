"""Tables, plots and model cards made from figures."""
