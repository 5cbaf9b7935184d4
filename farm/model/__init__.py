"""What flows through the farm: frozen values, standard library only."""
