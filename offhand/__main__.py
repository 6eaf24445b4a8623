from offhand.cli import main

main()
