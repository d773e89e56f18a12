"""One release of everything, in step: `make release`.

It asks first whether all parts say the same version and the changelog tells of it, then makes into `dist/` the wheel,
the npm package, the chart, the context of the container image, an SBOM and the checksums of all. Of the same commit it
makes the same. It publishes nothing.

- `versions`: what must agree before anything is made.
- `archives`: the chart and the image's context, as archives that are the same each time.
- `sbom`: what is in the image, as CycloneDX.
- `__main__`: the command.
"""
