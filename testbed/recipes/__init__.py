"""How the shipped generator, its encoder and its perceptual fallback are made. Each is one command that resumes."""
