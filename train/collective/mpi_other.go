//go:build !(linux && (amd64 || arm64)) || static

package collective

import "errors"

// openMPI returns an error.
func openMPI(string) (Group, error) {
	return nil, errors.New("collective: MPI is not used on this system or by this build")
}
