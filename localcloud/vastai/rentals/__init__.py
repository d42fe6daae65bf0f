"""What is rented: contracts, their states and bills."""
