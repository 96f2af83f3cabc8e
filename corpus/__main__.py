"""python -m corpus"""

if __name__ == "__main__":
    import gc

    # By default the 2,000 modules of a build are searched for garbage again and again while they load: a quarter of it.
    gc.set_threshold(100_000)

    from corpus import ending
    from corpus.cli import main

    ending.run(main)
