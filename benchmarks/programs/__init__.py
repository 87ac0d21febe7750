"""Programs that run as processes of their own: the floors, and the plain scheduler that one could write instead."""
