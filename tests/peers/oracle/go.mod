module oracle

go 1.24

require github.com/vmware/govmomi v0.30.2
