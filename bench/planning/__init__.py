"""What is measured, and in which order: the catalogue of scenarios and the schedule. Starts nothing."""
