"""What attackers and thieves try: hostile text through a whole run, planted secrets, exposed services."""
