"""Record formats: each turns changes into records and back."""
