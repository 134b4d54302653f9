module vimschema

go 1.24.0

require github.com/vmware/govmomi v0.54.0
