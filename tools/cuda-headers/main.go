// Command cuda-headers finds CUDA's header, which the GPU build needs, or gets it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"alexnet/tools/cli"
)

const description = `Finds CUDA's cuda.h for the GPU build, and prints the settings of the build.

A toolkit that is installed is taken first ($CUDA_HOME, $CUDA_PATH, the folder of nvcc,
$CONDA_PREFIX, /usr/local/cuda, /opt/cuda, Debian's /usr/include). Without one, cuda.h is
read out of Debian's package nvidia-cuda-dev (non-free; NVIDIA's licence applies): its
first megabyte, not all 774, and kept in your cache folder. Nothing else is
needed: the program finds the driver when it runs.

Example:
  eval "$(go run ./tools/cuda-headers)"
  go build -tags gpu ./...`

// flags are the command's.
type flags struct {
	CUDA      string `name:"cuda" enum:"11.8,12.4" default:"11.8" help:"Release to get: 11.8 (default), whose programs run with the drivers of all later ones, too, or 12.4."`
	NoToolkit bool   `help:"Pass over toolkits that are installed."`
	Stub      bool   `help:"Also find or get the linker's stand-in for the driver, libcuda.so, for other programs with package cu. Getting it reads the whole package (774 MB, minutes)."`
	Mirror    string `default:"http://deb.debian.org/debian" placeholder:"URL" help:"Where to get Debian's packages (${default})."`
	Cache     string `placeholder:"DIR" help:"Folder to keep files in (default: alexnet in your cache folder)."`
}

// Run finds the header and prints the settings.
func (f *flags) Run(ctx context.Context, out io.Writer) error {
	if f.Cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("%w (--cache names a folder)", err)
		}
		f.Cache = filepath.Join(dir, "alexnet")
	}
	cache, err := filepath.Abs(f.Cache)
	if err != nil {
		return err
	}
	var h headers
	if !f.NoToolkit {
		h = installed("", os.Getenv, f.Stub, os.Stderr)
	}
	if h.version == 0 {
		r := releaseTable[f.CUDA]
		if h, err = r.get(ctx, f.Mirror, cache, f.Stub, os.Stderr); err != nil {
			return fmt.Errorf("%w\nWith a CUDA toolkit of 11.8 or later, CUDA_HOME names its folder", err)
		}
	}
	shim, err := writeShim(cache)
	if err != nil {
		return err
	}
	h.settings(out, shim, os.Getenv)
	return nil
}

func main() { cli.Main("cuda-headers", description, &flags{}) }
