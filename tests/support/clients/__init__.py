"""What programs of others need that call the product."""
