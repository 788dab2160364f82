"""What the notebooks, the tests and the demo share.  The milestones never import it."""
