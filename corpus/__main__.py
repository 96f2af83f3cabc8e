"""python -m corpus"""

if __name__ == "__main__":
    from corpus.cli import main

    main()
