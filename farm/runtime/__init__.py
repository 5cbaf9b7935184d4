"""The loop from lease to settlement, and the tasks around it."""
