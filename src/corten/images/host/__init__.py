"""Images made of programs of this machine: what they load, archived as one layer."""
