#!/usr/bin/env python3
"""cells.py RESULTS.h5 OUT.parquet|OUT.csv: one row a cell, as pandas sees it.

An example for your own analysis. It needs python3-xarray, python3-h5netcdf and pandas; Parquet needs pyarrow or
fastparquet (pip), which Debian 12 does not have. Samples are left out: they have an axis of their own.
"""
import sys

import xarray as xr


def main():
    if len(sys.argv) != 3 or not sys.argv[2].endswith((".parquet", ".csv")):
        sys.exit(__doc__)
    with xr.open_dataset(sys.argv[1], engine="h5netcdf") as grid:
        columns = [name for name, v in grid.data_vars.items() if v.dims == ("query", "model")]
        table = grid[columns + ["category", "input_price", "output_price"]].to_dataframe().reset_index()
    if sys.argv[2].endswith(".csv"):
        table.to_csv(sys.argv[2], index=False)
    else:
        table.to_parquet(sys.argv[2], index=False)
    print(f"{sys.argv[2]}: {len(table)} cells, {len(table.columns)} columns")


main()
