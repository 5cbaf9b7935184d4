"""The loop from lease to settlement, and what keeps it alive."""
