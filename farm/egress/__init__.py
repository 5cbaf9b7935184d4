"""Every byte that leaves passes here."""
