"""From a plan to what starts it, and back: command lines and configuration files of frameworks."""
