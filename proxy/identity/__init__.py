"""All that ends in a credential: sign-in, tokens and their renewal, what outlives the process, what a request gets."""
