"""Files: the only place that knows GDAL, through rasterio.

``source`` opens what the user names, ``grid`` says where its pixels lie, ``pair`` reads pan and ms by window,
``area`` turns a polygon or a box into pixels. ``spec`` says what a file is to be, ``creation`` begins it so,
``output`` writes it and lets it exist only when complete, which ``commit`` sees to. ``gdal_brovey`` is GDAL's
pansharpener. Arrays go in and out; nothing here knows torch.
"""
