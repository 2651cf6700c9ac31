"""msgserver: one hub for every channel people in trouble can reach."""
