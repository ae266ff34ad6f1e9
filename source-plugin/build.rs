//! Link settings of the shared library.
//!
//! `nodelete`: worker threads and thread-local destructors outlive a `dlclose`. `now`: a missing symbol shows at
//! load. The SONAME carries the ABI major.

fn main() {
    for argument in [
        "-z,nodelete",
        "-z,now",
        "-z,relro",
        "-soname,libgenesys_source.so.1",
    ] {
        println!("cargo::rustc-cdylib-link-arg=-Wl,{argument}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
