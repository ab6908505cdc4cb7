"""How a Producer follows its routes: hold, drain, rescue, release, close."""
