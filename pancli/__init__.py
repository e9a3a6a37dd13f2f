"""pancli: pansharpen whole satellite scenes with deep networks or classical methods.

The library in three lines::

    from pancli.sharpening import SharpenOptions, sharpen
    report = sharpen("pan.tif", ["ms.tif"], "fused.tif", SharpenOptions(method="gsa"))
    print(report.megapixels_per_second)

Where things are: ``cli`` is the terminal; ``sharpening`` turns one pair into one file, ``batch`` many,
``checking`` says whether it can, ``evaluation`` and ``comparing`` how well it did; ``training`` makes weights
and ``adaptation`` fits them to a scene; ``methods`` fuse, ``networks`` are torch modules, ``metrics`` are
figures; ``simulation`` and ``degrading`` make scenes with an answer; ``raster`` alone touches files. Imports
point down only.
"""

__version__ = "0.1.0"
