"""A flow that is watched while it runs, for explanations: only who explains builds it, and nobody else pays for it."""
