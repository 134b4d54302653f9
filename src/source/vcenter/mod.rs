//! The source `vcenter`: events of a vCenter Server, or of vcsim, over SOAP.
