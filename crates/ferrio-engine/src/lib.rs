//! ferrio's event loop without Python.
