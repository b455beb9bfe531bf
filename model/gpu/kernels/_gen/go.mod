module alexnet/model/gpu/kernels/gen

go 1.26.0
