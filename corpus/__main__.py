"""python -m corpus"""

if __name__ == "__main__":
    from corpus import ending
    from corpus.cli import main

    ending.run(main)
