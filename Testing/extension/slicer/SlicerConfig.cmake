# What find_package(Slicer) gives to an extension of scripted modules, in place of a build of Slicer 5.10.
#
# The rules are those of Slicer's CMake/SlicerConfig.cmake.in, UseSlicer.cmake.in, SlicerMacroBuildScriptedModule.cmake,
# SlicerMacroPythonTesting.cmake and SlicerExtensionCPack.cmake, and of CTK's ctkMacroCompilePythonScript.cmake; left
# out is what concerns compiled modules, translations and uploading.

set(Slicer_VERSION 5.10)
if(NOT Slicer_REQUIRED_PYTHON_VERSION) # as a test may give another
  set(Slicer_REQUIRED_PYTHON_VERSION 3.12.10)
endif()
set(Slicer_USE_PYTHONQT ON)
set(Slicer_LAUNCHER_EXECUTABLE ${CMAKE_COMMAND}) # never started here, but ctest shows only what is there
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR lib/Slicer-${Slicer_VERSION}/qt-scripted-modules)
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR ${Slicer_QTSCRIPTEDMODULES_LIB_DIR})
set(Slicer_SHARE_DIR share/Slicer-${Slicer_VERSION})

set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/SlicerExtensionGenerateConfig.cmake)
set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/SlicerExtensionCPack.cmake)
