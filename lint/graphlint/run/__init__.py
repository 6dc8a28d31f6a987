"""From files to results: which artifacts, with which settings, checked and fixed, one or many."""
