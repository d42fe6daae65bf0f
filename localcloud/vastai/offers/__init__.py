"""What can be rented: machines, offers, search."""
