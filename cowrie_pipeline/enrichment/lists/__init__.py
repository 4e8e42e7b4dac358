"""What is downloaded whole and looked up here, one module for each publisher; catalog.py names them all."""
