"""What the Learn page computes, chapter by chapter: small, and by the same code that trains, measures and answers."""
