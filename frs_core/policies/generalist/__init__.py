"""Small vision-language flow policies that two CPU cores can train and run: one network, a `Design` for each world."""
