//go:build !(linux && (amd64 || arm64)) || static

package nvidia

import "alexnet/model/gpu/device"

// Communicator sums over ranks by NCCL, where there is one.
type Communicator struct{}

// JoinRanks returns a *MissingError: NCCL cannot be called here.
func JoinRanks(Ranks, RanksOptions) (*Communicator, error) {
	return nil, &MissingError{Library: labelNCCL, Variable: VariableNCCL, Err: errNoLibraries, Hint: "use another build"}
}

// Name names nothing.
func (*Communicator) Name() string { return labelNCCL }

// Labelled returns an error.
func (*Communicator) Labelled(int) (int, error) { return 0, errNoLibraries }

// AllReduce returns an error.
func (*Communicator) AllReduce(device.Stream, device.Ptr, int) error { return errNoLibraries }

// Wait returns an error.
func (*Communicator) Wait(device.Stream) error { return errNoLibraries }

// Close does nothing.
func (*Communicator) Close() error { return nil }
