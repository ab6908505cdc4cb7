"""What tests need, for third parties too. Import the modules you use; nothing is loaded here."""
