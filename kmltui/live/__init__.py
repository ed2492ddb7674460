"""What a screen shows of a run at one instant."""
